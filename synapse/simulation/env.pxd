cdef class Schedule:
    cdef public double _now
    cdef public list _entries
    cdef public dict _lapsed
    cdef public Py_ssize_t _cancelled, _number, _passed

    cpdef double time(self)
    cpdef object lapse(self)
    cpdef object call(self, double delay, callback, argument)
    cpdef object call_at(self, double due, callback, argument)
    cpdef object forget_one(self)
