from synapse.simulation.env cimport Schedule

cdef class Line:
    cdef public object _callback, _lapsed, _line, _turn_call
    cdef public Schedule _env
    cdef public double _delay
    cdef public Py_ssize_t _room
    cdef public bint _armed
