from synapse.cortex.job cimport Job
from synapse.cortex.scheduler cimport Scheduler
from synapse.simulation.env cimport Schedule

cdef class Try(Job):
    cdef public object backoff, gaps, node, population
    cdef public Py_ssize_t row
    cdef public double asked, began, demand, first, sent, served, until
    cdef public bint wanted

cdef class Node:
    cdef public object name, slots
    cdef public Scheduler scheduler
    cdef public double factor, in_vain, served
    cdef public bint up
    cdef public object _done_call, _stops
    cdef public Schedule _env
    cdef public Py_ssize_t _thoughts

    cpdef object start(self, Try job)
    cpdef object _done(self, Try job)

cdef class CrowdedNode(Node):
    cdef public object _backlog, _serving
