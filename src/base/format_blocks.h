// Decoders of the block formats of GGUF files, for the table in format.cpp only; everyone else goes through it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lancet {

using BlockDecoder = void(const std::byte* from, float* to, int64_t blocks);

BlockDecoder decode_q4_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q8_0;
BlockDecoder decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k;
BlockDecoder decode_iq4_nl, decode_iq4_xs;

}  // namespace lancet
