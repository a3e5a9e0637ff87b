//! Tests of the machine: each edge, what requests mean, recovery, and a property test.
