//! The agent as a program: run with `--stdio` as an ordinary child, with requests as kiln sends them.

mod agent;
mod archive;
mod confinement;
mod exhausted;
mod export;
mod prepare;
mod process;
mod reads;
mod relay;
mod steps;
mod terminal;
mod upper;
