cdef class Deadlines:
    cdef object _clock, _expire, _heap, _line, _timer
    cdef Py_ssize_t _number, _room
    cdef double _due
