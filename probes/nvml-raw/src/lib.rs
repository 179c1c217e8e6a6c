//! The raw driver calls that nvml-wrapper 0.13 lacks or gets wrong, over nvml-wrapper-sys (NVML 13.0).
//!
//! | what | why not through the wrapper |
//! |---|---|
//! | [`Driver`] | `Nvml`'s drop panics where the library has no `nvmlShutdown` |
//! | [`DriverError`] | return codes 23 to 30 have no names there |
//! | [`field`] | no scope, two value types are lost, the answer's id is not the one asked for |
//! | [`event`] | bits above 0x100 vanish; a set is freed when one registration fails |
//! | [`device`] | the row remapper histogram is absent, the type of an NVLink's far end is always "unknown", the bits of clock event reasons are cut, there is no way back to the older call for memory |
//!
//! Every call goes through the symbol's field (`lib.nvmlFoo.as_ref()`), never through the method of the same name: the
//! methods panic where a symbol is missing. A missing symbol is [`DriverError::NoSymbol`].

pub mod device;
pub mod driver;
pub mod error;
pub mod event;
pub mod field;

pub use device::{Far, Memory, RowHistogram};
pub use driver::Driver;
pub use error::DriverError;
pub use event::{DriverEvent, EventSet};
pub use field::{Field, FieldReply, FieldValue};
pub use nvml_wrapper::device::Device;
