"""School Scheduler: makes a school's weekly timetable."""

__version__ = "0.1.0"
