-- Calls that are held, erased or corrected are few among millions.

-- +goose Up

CREATE INDEX calls_held ON calls (start_ms, ref) WHERE held_until_ms > 0;
CREATE INDEX calls_erased ON calls (start_ms, ref) WHERE erased > 0;
CREATE INDEX calls_corrected ON calls (start_ms, ref) WHERE corrections > 0;
