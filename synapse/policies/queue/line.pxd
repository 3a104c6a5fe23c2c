cdef class Line:
    cdef public object policy, _line

cdef class FifoQueue(Line):
    pass

cdef class LifoQueue(Line):
    pass
