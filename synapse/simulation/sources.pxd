from synapse.simulation.env cimport Schedule

cdef class Source:
    cdef object _arrive, _come_call, _times
    cdef Schedule _env
    cdef double _due, _from, _next, _pace, _since
    cdef bint _is_steady
