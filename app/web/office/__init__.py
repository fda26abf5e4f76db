"""The pages on which a school's people make its timetable."""
