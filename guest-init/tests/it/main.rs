//! The agent as a program: it is run with `--stdio` as an ordinary child and spoken to as kiln does.

mod agent;
mod archive;
mod confinement;
mod exhausted;
mod export;
mod process;
mod reads;
mod relay;
mod steps;
mod terminal;
mod upper;
mod world;
