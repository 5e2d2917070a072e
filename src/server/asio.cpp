// Asio's own code, with its face of OpenSSL.
#include "server/asio_config.h"

#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
