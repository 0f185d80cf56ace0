"""UDP for programs: datagrams over streams, a stream for each source."""
