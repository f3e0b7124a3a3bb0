//! Public-key signatures and certificates, behind the cargo feature `asymmetric`, which is on by default.
//!
//! aws-lc makes and checks them: it is what the functions' TLS uses, and the one part of this crate that is not Rust.
//! Without the feature no key of these algorithms can be decoded, so that no endpoint that needs one gets its keys.

#[cfg(not(feature = "asymmetric"))]
mod absent;
mod algorithm;
#[cfg(feature = "asymmetric")]
mod aws_lc;

pub(crate) use algorithm::Algorithm;

#[cfg(not(feature = "asymmetric"))]
pub(crate) use absent::{PrivateKey, PublicKey, certificate_verifies};
#[cfg(feature = "asymmetric")]
pub(crate) use aws_lc::{PrivateKey, PublicKey, certificate_verifies};

/// # Errors
///
/// This build has no public-key signatures: what to say of a key that needs them.
pub(crate) fn is_built() -> Result<(), &'static str> {
    if cfg!(feature = "asymmetric") {
        Ok(())
    } else {
        Err("its algorithm is left out of this build (cargo feature `asymmetric`)")
    }
}
