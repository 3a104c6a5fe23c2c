from synapse.simulation.env cimport Schedule

cdef class Line:
    cdef object _callback, _lapsed, _line, _turn_call
    cdef Schedule _env
    cdef double _delay
    cdef Py_ssize_t _room
    cdef bint _armed
