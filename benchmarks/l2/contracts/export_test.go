package contracts

// CompileSources is compile, for tests.
var CompileSources = compile
