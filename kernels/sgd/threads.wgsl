// Threads of a workgroup.
override THREADS: u32;
