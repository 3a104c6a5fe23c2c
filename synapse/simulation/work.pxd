from synapse.simulation.node cimport Try

cdef class Work:
    cdef public object _again, _first, _gap, _gaps, _in_sequence
    cdef public Py_ssize_t _thoughts

    cpdef object give(self, Try job)
