// Memory of the command-line tool: an allocation that fails ends the process with a refusal.
//
// Linking this target is all that is needed. It puts functions in front of the C library's `malloc`
// and its relatives, which call the C library, and end the process in the way of `CProcessEnd` when
// there is no memory. The Swift runtime would end it by a signal.
#pragma once
