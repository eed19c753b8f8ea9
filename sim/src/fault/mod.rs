//! What may be broken. Links and processes are broken through [`crate::world::Hands`], disks while they run through
//! [`crate::disk::DiskFaults`], and what is on a disk through [`damage`]. [`atlas`] says how much of it a correct cluster
//! must survive.

pub mod atlas;
pub mod damage;
