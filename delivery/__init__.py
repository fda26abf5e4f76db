"""The few commands that people, pipelines and drills share to put School Scheduler into a cluster."""
