// Makes a chosen allocation of this test program fail, to show that no request's lack of memory is another's problem.
#pragma once

namespace lancet::test {

/// From now on the count-th operator new of this thread (1: the next) throws std::bad_alloc, once; 0: none.
void fail_allocation(long count);
/// Whether the allocation asked for has failed by now.
bool allocation_failed();

/// Allocations in its scope neither fail nor count.
class AllocationsAllowed {
 public:
  AllocationsAllowed();
  ~AllocationsAllowed();

 private:
  long left_;
};

}  // namespace lancet::test
