//! `ashlar-runtime` as engines call it: lives of containers, mistakes, and what a container may not reach.

mod attacks;
mod fixture;
mod interrupted;
mod lives;
mod mistakes;
