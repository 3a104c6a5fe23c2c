cdef class Counts:
    cdef public Py_ssize_t sent, ok, error, timeout, rejected, given_up, in_flight
    cdef public Py_ssize_t tries, tries_ok, tries_error, tries_timeout, tries_rejected, tries_in_flight
