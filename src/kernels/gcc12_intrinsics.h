// g++ 12 takes the deliberately undefined operands inside its own AVX-512 intrinsics for a mistake of ours (GCC bug
// 105593). Included before the intrinsics by every file that is compiled with AVX-512.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
