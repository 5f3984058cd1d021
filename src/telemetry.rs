//! Telemetry (owner writes it).
