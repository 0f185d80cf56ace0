"""Time: clocks, timers, deadlines, rates and waits. All of it takes its clock as an argument."""
