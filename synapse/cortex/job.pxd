cdef class Job:
    cdef public object agent, attempt, body, connection, cost, handler, key, limit, priority, ref, timeout
    cdef public object admitted, finished, first_thought, reason, scheduler, started, state, status, thoughts, work
    cdef public double deadline, submitted
