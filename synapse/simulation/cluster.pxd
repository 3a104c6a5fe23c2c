cdef class Cluster:
    cdef public object latency, submit
    cdef public list nodes
    cdef public bint is_near
    cdef object _balancer, _choices, _env, _lot
    cdef double _stale
    cdef bint _by_connection
