from synapse.simulation.population cimport Population

cdef class Closed(Population):
    cdef public object _think, _wake_call
    cdef public double _pace
    cdef public list _wakes

cdef class Open(Population):
    cdef public Py_ssize_t _turn
