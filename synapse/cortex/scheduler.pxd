from synapse.cortex.deadlines cimport Deadlines
from synapse.cortex.job cimport Job

cdef double FOREVER

cdef class Scheduler:
    cdef public object gate, policies
    cdef public Py_ssize_t ended, rejected, submitted
    cdef public bint draining
    cdef public object _bus, _clock, _concurrency, _node, _outlet, _patience, _queue, _runner, _time, _timeout, _watch
    cdef public Deadlines _deadlines
    cdef public dict _running
    cdef public list _listeners
    cdef public bint _is_guarded, _latency_is_news, _may_wait, _run_is_news, _start_is_news
    cdef public Py_ssize_t _runs
    cdef public double _mean_run

    cpdef object submit(self, Job job)
    cpdef bint finish(self, Job job, status, data=*, reason=*)
    cpdef object _start(self, Job job, double now)
    cpdef object _fill(self, double now)
    cpdef object _end(self, Job job, double now, status, reason, data)
