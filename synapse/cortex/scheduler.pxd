from synapse.cortex.deadlines cimport Deadlines
from synapse.cortex.job cimport Job

cdef class Scheduler:
    cdef public object gate, policies
    cdef public Py_ssize_t ended, rejected, submitted
    cdef public bint draining
    cdef object _bus, _clock, _concurrency, _node, _outlet, _patience, _queue, _runner, _time, _timeout, _watch
    cdef Deadlines _deadlines
    cdef dict _running
    cdef list _listeners
    cdef bint _is_guarded, _latency_is_news, _may_wait, _run_is_news, _start_is_news
    cdef Py_ssize_t _runs
    cdef double _mean_run

    cpdef object submit(self, Job job)
    cpdef bint finish(self, Job job, status, data=*, reason=*)
    cdef object _start(self, Job job, double now)
    cdef object _fill(self, double now)
    cdef object _end(self, Job job, double now, status, reason, data)
