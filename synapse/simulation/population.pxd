from synapse.simulation.cluster cimport Cluster
from synapse.simulation.env cimport Schedule
from synapse.simulation.lines cimport Line
from synapse.simulation.node cimport Try
from synapse.simulation.tally cimport Counts
from synapse.simulation.work cimport Work

cdef class Population:
    cdef public object connections, homes, mailroom, name, names, refusals
    cdef public Counts counts
    cdef public list first_thoughts, latencies, waits
    cdef public double useful, wasted
    cdef public object _again_call, _budget, _chance, _flying, _give_up_after, _guards, _held, _key, _leave_call
    cdef public object _lose_call, _patience, _pausing, _priority, _refs, _retry, _retry_on, _seconds, _timeout
    cdef public Cluster _cluster
    cdef public Line _line
    cdef public Schedule _env
    cdef public Work _work
    cdef public double _measured_from
    cdef public bint _guard_is_shared, _hears_at_once, _interrupts, _is_called, _tells_deadline, _timeout_learns, _varies

    cpdef object ask(self, Py_ssize_t row)
    cpdef object ended(self, Try job, data)
    cpdef object _try(self, Try job)
    cpdef object _succeed(self, Try job)
    cpdef object _end(self, Try job)
