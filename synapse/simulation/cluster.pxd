cdef class Cluster:
    cdef public object latency, submit
    cdef public list nodes
    cdef public bint is_near
    cdef public object _balancer, _choices, _env, _lot
    cdef public double _stale
    cdef public bint _by_connection
