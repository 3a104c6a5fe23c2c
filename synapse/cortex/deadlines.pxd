cdef class Deadlines:
    cdef public object _clock, _expire, _heap, _line, _timer
    cdef public Py_ssize_t _number, _room
    cdef public double _due
