// Asio as this folder uses it: compiled once, in asio.cpp. Included by .cpp files only.
#pragma once

#define BOOST_ASIO_SEPARATE_COMPILATION 1
#define BOOST_ASIO_NO_DEPRECATED 1
// Fences beside locks: needless, and the thread sanitizer does not know them.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
