// The work is cut into items: some query rows of one sequence, times the query heads that share one key head. An item
// walks over its context in tiles (kernels/attention.h), each of which serves all its queries. The context is also cut
// into long segments, each summed from nothing and merged in order, so that a lone decoding row can spread its segments
// over the threads and still give the same bits.
#include "backend/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"

namespace lancet {
namespace {

constexpr int kTileQueries = 64;                 // queries (rows times heads) that share a loaded tile
constexpr int kSegmentTokens = 512;              // a multiple of the tile
constexpr int64_t kMostSegmentFloats = 4 << 20;  // 16 MiB; the memory plan counts on it

constexpr int64_t rounded(int64_t count) { return (count + 15) / 16 * 16; }

/// Sums over some keys, for several queries.
struct Sums {
  float* values;   // [queries, head_width] sum of exp(score - maximum) * value
  float* weights;  // [queries] sum of exp(score - maximum)
  float* maxima;   // [queries]

  static int64_t floats(int queries, int width) { return int64_t{queries} * width + 2 * rounded(queries); }

  Sums(float* memory, int queries, int width)
      : values(memory), weights(memory + int64_t{queries} * width), maxima(weights + rounded(queries)) {}

  void clear(int queries, int width) const {
    std::fill_n(values, int64_t{queries} * width, 0.0f);
    std::fill_n(weights, queries, 0.0f);
    std::fill_n(maxima, queries, -std::numeric_limits<float>::infinity());
  }

  /// Raises a query's maximum to at least `maximum`.
  void raise(int query, float maximum, int width) const {
    if (!(maximum > maxima[query])) return;
    const float shrink = std::exp(maxima[query] - maximum);  // 0 if there was nothing yet
    maxima[query] = maximum;
    weights[query] *= shrink;
    float* sums = values + int64_t{query} * width;
    for (int i = 0; i < width; i++) sums[i] *= shrink;
  }

  void merge(const KernelTable& kernels, const Sums& other, int queries, int width) const {
    for (int query = 0; query < queries; query++) {
      if (other.weights[query] == 0) continue;  // it may see no key of that segment
      raise(query, other.maxima[query], width);
      const float scale = std::exp(other.maxima[query] - maxima[query]);
      weights[query] += scale * other.weights[query];
      kernels.axpy_f32(scale, other.values + int64_t{query} * width, values + int64_t{query} * width, width);
    }
  }
};

/// Query rows [first_row, first_row + rows) of one sequence, for all query heads of one key head.
struct Item {
  const SequenceRows* sequence;
  int first_row, rows;
  int kv_head;
};

/// One thread's memory; all floats.
struct Workspace {
  float* codes;    // [queries, padded width] in query_at's order; a QueryCode takes a float at most
  float* row;      // [padded width] codes of one query
  float* scales;   // [queries]
  float* segment;  // Sums
  float* total;    // Sums

  static int64_t floats(int queries, int width) {
    return int64_t{(queries + kQueryLanes - 1) / kQueryLanes * kQueryLanes + 1} * width + rounded(queries) +
           2 * rounded(Sums::floats(queries, width));
  }

  Workspace(float* memory, int count, int width) {
    const auto take = [&memory](int64_t size) { return std::exchange(memory, memory + size); };
    codes = take(int64_t{(count + kQueryLanes - 1) / kQueryLanes * kQueryLanes} * width);
    row = take(width);
    scales = take(rounded(count));
    segment = take(rounded(Sums::floats(count, width)));
    total = take(rounded(Sums::floats(count, width)));
  }
};

/// Runs one item. Query number `row * group + head` is query head `kv_head * group + head` of row first_row + row.
class ItemRun {
 public:
  ItemRun(const KernelTable& kernels, const AttentionCall& call, const Item& item, const Workspace& workspace)
      : kernels_(kernels),
        call_(call),
        item_(item),
        work_(workspace),
        head_width_(call.cache.head_width()),
        width_(padded_width(head_width_)),
        group_(call.q.cols / call.cache.width()),
        queries_(item.rows * group_) {}

  /// All segments, and the result into call.out.
  void run() {
    load_queries();
    const Sums segment(work_.segment, queries_, width_), total(work_.total, queries_, width_);
    total.clear(queries_, width_);
    for (int first = 0; first <= last_position(); first += kSegmentTokens) {
      sum_segment(first, segment);
      total.merge(kernels_, segment, queries_, width_);
    }
    store(total);
  }

  /// One segment only, into `memory` (Sums).
  void run_segment(int first, float* memory) {
    load_queries();
    sum_segment(first, Sums(memory, queries_, width_));
  }

  /// What run() does after the segments have been run one by one.
  void merge_segments(float* segments, int64_t stride, int count) {
    const Sums total(work_.total, queries_, width_);
    total.clear(queries_, width_);
    for (int i = 0; i < count; i++) {
      const Sums segment(segments + i * stride, queries_, width_);
      total.merge(kernels_, segment, queries_, width_);
    }
    store(total);
  }

 private:
  int position(int row) const { return call_.batch.positions[static_cast<size_t>(item_.first_row + row)]; }
  int last_position() const { return position(item_.rows - 1); }

  int64_t at(int query) const {  // where the query stands in q and out
    const int64_t head = item_.kv_head * group_ + query % group_;
    return (item_.first_row + query / group_) * int64_t{call_.q.cols} + head * head_width_;
  }

  void load_queries() {
    switch (call_.cache.format()) {
      case KvFormat::f16: return load_queries_as<KvF16>();
      case KvFormat::q8: return load_queries_as<KvQ8>();
      default: return load_queries_as<KvF32>();
    }
  }

  template <class Kv>
  void load_queries_as() {
    using Code = typename Kv::QueryCode;
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_width_));
    auto* to = reinterpret_cast<Code*>(work_.codes);
    auto* row = reinterpret_cast<Code*>(work_.row);
    for (int query = 0; query < queries_; query++) {
      const float* from = call_.q.data + at(query);
      if constexpr (Kv::kScaleBlock == 0) {
        for (int col = 0; col < width_; col++) row[col] = col < head_width_ ? from[col] * scale : 0.0f;
      } else {
        work_.scales[query] = scale * kernels_.quantise_wide(from, head_width_, Kv::kQueryMost, row);
      }
      for (int col = 0; col < width_; col++) to[query_at<Kv>(query, col, width_)] = row[col];
    }
  }

  void sum_segment(int segment, const Sums& sums) {
    sums.clear(queries_, width_);
    const int end = std::min(segment + kSegmentTokens, last_position() + 1);
    for (int first = segment; first < end; first += kTileKeys) take_tile(first, sums);
  }

  /// The run of the position's block, or of the last block.
  const std::byte* run_at(int at) const {
    const int block = item_.sequence->first_block + std::min(at, last_position()) / kBlockTokens;
    return call_.cache.run(
        {.layer = call_.layer, .block = call_.batch.blocks[static_cast<size_t>(block)], .head = item_.kv_head});
  }

  /// Adds the tile's keys to the sums, as far as each row may see them.
  void take_tile(int first, const Sums& sums) {
    AttentionTile tile{.width = width_};
    for (int i = 0; i < kTileBlocks; i++) {
      tile.blocks[i] = run_at(first + i * kBlockTokens);
      tile.ahead[i] = run_at(first + kTileKeys + i * kBlockTokens);
    }
    const auto visible = [&](int row) { return std::min(kTileKeys, position(row) + 1 - first); };
    int row = 0;
    while (row < item_.rows) {
      const int begin = row;
      tile.keys = visible(begin);
      while (row < item_.rows && visible(row) == tile.keys) row++;
      if (tile.keys > 0) take_rows(begin, row - begin, tile, sums);
    }
  }

  void take_rows(int first_row, int rows, AttentionTile& tile, const Sums& sums) {
    const int first = first_row * group_;
    tile.first_query = first;
    tile.queries = rows * group_;
    tile.codes = reinterpret_cast<const std::byte*>(work_.codes);
    tile.scales = work_.scales + first;
    tile.sums = sums.values + int64_t{first} * width_;
    tile.weights = sums.weights + first;
    tile.maxima = sums.maxima + first;
    kernels_.attend[static_cast<int>(call_.cache.format())](tile);
  }

  void store(const Sums& total) {
    for (int query = 0; query < queries_; query++) {
      float* to = call_.out.data + at(query);
      std::fill_n(to, head_width_, 0.0f);
      kernels_.axpy_f32(1.0f / total.weights[query], total.values + int64_t{query} * width_, to, head_width_);
    }
  }

  const KernelTable& kernels_;
  const AttentionCall& call_;
  const Item& item_;
  const Workspace& work_;
  int head_width_, width_, group_, queries_;
};

int last_position(const Batch& batch, const Item& item) {
  return batch.positions[static_cast<size_t>(item.first_row + item.rows - 1)];
}

/// Items of a step, the longest contexts first: a long item started last would leave the other threads idle.
std::vector<Item> cut_into_items(const AttentionCall& call, int rows_each) {
  std::vector<Item> items;
  for (const SequenceRows& sequence : call.batch.sequences) {
    for (int row = 0; row < sequence.rows; row += rows_each) {
      for (int head = 0; head < call.cache.heads(); head++) {
        items.push_back({&sequence, sequence.first_row + row, std::min(rows_each, sequence.rows - row), head});
      }
    }
  }
  std::stable_sort(items.begin(), items.end(), [&call](const Item& a, const Item& b) {
    return last_position(call.batch, a) > last_position(call.batch, b);
  });
  return items;
}

/// Floats that the sums of all segments take, one after another in memory.
int64_t segment_floats(const AttentionCall& call, std::span<const Item> items) {
  int64_t segments = 0;
  int rows = 0;
  for (const Item& item : items) {
    segments += last_position(call.batch, item) / kSegmentTokens + 1;
    rows = std::max(rows, item.rows);
  }
  return segments * rounded(Sums::floats(rows * call.q.cols / call.cache.width(), call.cache.head_width()));
}

/// Few items and long contexts: segments run side by side.
void attend_by_segments(CpuCore& core, const AttentionCall& call, std::span<const Item> items, const auto& workspace) {
  struct Piece {
    const Item* item;
    int segment;
  };
  std::vector<Piece> pieces;
  std::vector<size_t> first_piece;  // of each item
  int queries = 0;
  for (const Item& item : items) {
    first_piece.push_back(pieces.size());
    for (int i = 0; i * kSegmentTokens <= last_position(call.batch, item); i++) pieces.push_back({&item, i});
    queries = std::max(queries, item.rows * call.q.cols / call.cache.width());
  }
  const int64_t stride = rounded(Sums::floats(queries, padded_width(call.cache.head_width())));
  float* sums = core.arena.array<float>(pieces.size() * static_cast<size_t>(stride));
  for_each_item(core.pool, static_cast<int64_t>(pieces.size()), [&](int64_t worker, int64_t number) {
    const Piece& piece = pieces[static_cast<size_t>(number)];
    const Workspace work = workspace(worker);
    ItemRun run(core.kernels, call, *piece.item, work);
    run.run_segment(piece.segment * kSegmentTokens, sums + number * stride);
  });
  for_each_item(core.pool, static_cast<int64_t>(items.size()), [&](int64_t worker, int64_t number) {
    const Item& item = items[static_cast<size_t>(number)];
    const Workspace work = workspace(worker);
    ItemRun(core.kernels, call, item, work)
        .merge_segments(sums + static_cast<int64_t>(first_piece[static_cast<size_t>(number)]) * stride, stride,
                        last_position(call.batch, item) / kSegmentTokens + 1);
  });
}

}  // namespace

void attend_paged(CpuCore& core, const AttentionCall& call) {
  CHECK(call.cache.width() > 0 && call.q.cols % call.cache.width() == 0);
  CHECK(call.q.cols == call.out.cols && call.q.rows == call.batch.rows() && call.out.rows == call.q.rows);
  const int group = call.q.cols / call.cache.width();
  const int rows_each = std::max(1, kTileQueries / group);
  const std::vector<Item> items = cut_into_items(call, rows_each);
  if (items.empty()) return;

  const Arena::Scope scope(core.arena);
  const int width = padded_width(call.cache.head_width());
  const int64_t floats = Workspace::floats(rows_each * group, width);
  float* memory = core.arena.array<float>(static_cast<size_t>(floats * core.pool.threads()));
  const auto workspace = [&](int64_t worker) { return Workspace(memory + worker * floats, rows_each * group, width); };
  const auto count = static_cast<int64_t>(items.size());
  // Below four items a thread, the last ones to finish leave threads idle.
  if (count < 4 * core.pool.threads() && last_position(call.batch, items[0]) >= kSegmentTokens &&
      segment_floats(call, items) <= kMostSegmentFloats) {
    attend_by_segments(core, call, items, workspace);
    return;
  }
  for_each_item(core.pool, count, [&](int64_t worker, int64_t number) {
    const Workspace work = workspace(worker);
    ItemRun(core.kernels, call, items[static_cast<size_t>(number)], work).run();
  });
}

}  // namespace lancet
