// Package pairs measures what RiVS measured (P2 §4: a message, a score update, a CDR
// row), each in its way (RabbitMQ, SQL, and a process started for each) and in
// Callseal's, with the same events in the same run.
package pairs
