from synapse.simulation.env cimport Schedule

cdef double NEVER

cdef class Source:
    cdef public object _arrive, _come_call, _times
    cdef public Schedule _env
    cdef public double _due, _from, _next, _pace, _since
    cdef public bint _is_steady
