"""The timetabling problem: instances in the XHSTT format, what a timetable costs, and how to find a good one.

Source of the format and of its cost functions: Post et al., "XHSTT: an XML archive for high school timetabling problems
in different countries", Annals of Operations Research 218, 2014; and the documentation of the HSEval evaluator.
"""
