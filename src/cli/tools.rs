//! What a workstation has and a router's build leaves out with the Cargo feature `tools`: `bench`, `demo`,
//! `import --from-tega` and the original's `cli`.

#[cfg(feature = "tools")]
pub(super) use super::{bench::bench, demo::demo, migrate::import_original, original::cli};

#[cfg(not(feature = "tools"))]
pub(super) use absent::{bench, cli, demo, import_original};

#[cfg(not(feature = "tools"))]
mod absent {
    use super::super::fault::Fault;
    use super::super::parse::Typed;
    use super::super::show::Out;

    fn absent(what: &str) -> Result<(), Fault> {
        Err(Fault::error(format!(
            "{what}: this tega was built for a router, without it; a workstation's has it, and reaches this server \
             with --url"
        )))
    }

    pub(crate) fn bench(_typed: &Typed, _out: &mut Out) -> Result<(), Fault> {
        absent("bench")
    }

    pub(crate) fn cli(_typed: &Typed, _out: &mut Out) -> Result<u8, Fault> {
        absent("cli").map(|()| 0)
    }

    pub(crate) fn demo(_typed: &Typed, _out: &mut Out) -> Result<(), Fault> {
        absent("demo")
    }

    pub(crate) fn import_original(_typed: &Typed, _out: &mut Out) -> Result<(), Fault> {
        absent("import --from-tega")
    }
}
