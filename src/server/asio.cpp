// Asio's own code.
#include "server/asio_config.h"

#include <boost/asio/impl/src.hpp>
