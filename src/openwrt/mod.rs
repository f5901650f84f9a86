//! # OpenWrt

pub mod bridge;
