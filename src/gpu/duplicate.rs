//! Commands on copies of their buffers: the same work on other memory.

use super::buffer::Buffer;
use super::context::{Command, Context, Step};
use super::error::GpuError;

impl Command {
    /// The storage buffers that the command reads or writes.
    fn buffers(&self) -> Vec<&Buffer> {
        match &*self.step {
            Step::Dispatch { buffers, .. } => buffers.iter().map(|(_, buffer)| buffer).collect(),
            Step::Clear(buffer) => vec![buffer],
            Step::Copy { from, to, .. } => vec![from, to],
        }
    }
}

/// The storage buffers of commands, each once.
fn distinct(commands: &[Command]) -> Vec<&Buffer> {
    let mut found: Vec<&Buffer> = vec![];
    for buffer in commands.iter().flat_map(Command::buffers) {
        if !found.iter().any(|known| known.is(buffer)) {
            found.push(buffer);
        }
    }
    found
}

/// Size of the storage buffers that commands read or write, each counted once. Unit: bytes.
pub fn buffer_bytes(commands: &[Command]) -> u64 {
    distinct(commands).iter().map(|buffer| buffer.bytes()).sum()
}

impl Context {
    /// The same commands on new storage buffers, which begin with what the originals' hold now: a
    /// buffer that two commands share, two of the new ones share too. Pipelines and uniform records
    /// are the originals'.
    ///
    /// # Errors
    /// As [`Context::buffer`], [`Context::dispatch`] and [`Context::run`].
    pub fn duplicate(&self, commands: &[Command]) -> Result<Vec<Command>, GpuError> {
        let originals = distinct(commands);
        let mut copies = Vec::with_capacity(originals.len());
        for original in &originals {
            copies.push(self.buffer("copy for a cold cache", original.bytes())?);
        }
        let fill = originals.iter().zip(&copies);
        let fill: Vec<Command> =
            fill.map(|(from, to)| self.copy(from, 0, to, 0, from.bytes())).collect();
        self.run(&fill, 1)?;
        let copy_of = |buffer: &Buffer| {
            let at = originals.iter().position(|original| original.is(buffer));
            // Every buffer of the commands is among their distinct ones.
            at.map_or_else(|| buffer.clone(), |at| copies[at].clone())
        };
        let again = |command: &Command| match &*command.step {
            Step::Dispatch { pipeline, workgroups, buffers, uniform, .. } => {
                let bound: Vec<(u32, Buffer)> =
                    buffers.iter().map(|(binding, buffer)| (*binding, copy_of(buffer))).collect();
                let bound: Vec<(u32, &Buffer)> =
                    bound.iter().map(|(binding, buffer)| (*binding, buffer)).collect();
                let uniform = uniform.as_ref().map(|(binding, all, index)| (*binding, all, *index));
                self.bind(pipeline, &bound, uniform, *workgroups)
            }
            Step::Clear(buffer) => Ok(self.clear(&copy_of(buffer))),
            Step::Copy { from, from_offset, to, to_offset, bytes } => {
                Ok(self.copy(&copy_of(from), *from_offset, &copy_of(to), *to_offset, *bytes))
            }
        };
        commands.iter().map(again).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::tests::on_each_device;

    /// A chain a → b → c on copies reads what a held, writes the copies alone, and keeps the chain.
    #[test]
    fn a_duplicate_does_the_same_elsewhere() {
        on_each_device(|context| {
            let [a, b, c] = ["a", "b", "c"].map(|label| context.buffer(label, 64).unwrap());
            context.upload(&a, &[7; 64]).unwrap();
            let chain = [context.copy(&a, 0, &b, 0, 64), context.copy(&b, 0, &c, 0, 64)];
            assert_eq!(buffer_bytes(&chain), 192);
            let before = context.allocated_bytes();
            let twin = context.duplicate(&chain).unwrap();
            assert_eq!(context.allocated_bytes() - before, 192);
            // From now on the originals hold something else.
            context.upload(&a, &[9; 64]).unwrap();
            context.run(&twin, 1).unwrap();
            assert_eq!(context.read(&c, 0, 64).unwrap(), [0; 64], "untouched");
            let outputs = distinct(&twin);
            assert_eq!(outputs.len(), 3);
            assert_eq!(context.read(outputs[2], 0, 64).unwrap(), [7; 64]);
            context.run(&chain, 1).unwrap();
            assert_eq!(context.read(&c, 0, 64).unwrap(), [9; 64]);
            assert_eq!(context.read(outputs[2], 0, 64).unwrap(), [7; 64]);
        });
    }
}
