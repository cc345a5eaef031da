//! `xdp-probe drivers`.

use super::Output;
use crate::drivers::{self, Driver};
use crate::render::{driver, json, table};
use crate::{Error, Result};

pub(super) fn run(name: Option<&str>, out: &mut Output<'_>) -> Result<()> {
    let rows: Vec<&Driver> = match name {
        Some(name) => {
            let row = drivers::by_name(name).or_else(|| drivers::by_kind(name));
            vec![row.ok_or_else(|| Error::NoSuchDriver {
                name: name.to_owned(),
            })?]
        }
        None => drivers::table().iter().collect(),
    };
    let width = out.width;
    if out.json {
        Ok(out.json(&json::Drivers {
            schema: json::DRIVERS,
            drivers: rows,
        })?)
    } else if name.is_some() {
        Ok(out.text(&driver::page(rows[0], width))?)
    } else {
        out.text(&table::drivers(&rows, width))?;
        Ok(out.text("\nto*: only while a native program is attached. `xdp-probe drivers NAME` tells limits, notes and sources.\n")?)
    }
}
