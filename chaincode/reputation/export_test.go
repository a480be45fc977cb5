package reputation

// Factors is the table, for the test that it is exact.
var Factors = factors
