//! What sessions at a local listen to beyond the roots that its link carries: changes there go over as NOTIFY.

use std::sync::Arc;

use super::mailbox::Mailbox;
use crate::message::{Dialect, entry, link};
use crate::path::{Key, Path};
use crate::store::{Channel, Error, Event, Lagging, Notice, Store, View, Watch, notices_of};
use crate::token::Access;

/// The channels that the other end listens to.
pub(super) struct Listening {
    watch: Watch,
    channels: Vec<Channel>,
}

impl Listening {
    pub(super) fn new(store: &Store, mailbox: &Arc<Mailbox>) -> Listening {
        let weak = Arc::downgrade(mailbox);
        let watch = store.watch(None, move || {
            if let Some(mailbox) = weak.upgrade() {
                mailbox.listening();
            }
        });
        Listening { watch, channels: Vec::new() }
    }

    /// Begins or ends to listen.
    pub(super) fn listen(&mut self, channel: Channel, on: bool) -> Result<(), Error> {
        let (text, regex) = (channel.text(), matches!(channel, Channel::Regex { .. }));
        let same = |known: &Channel| matches!(known, Channel::Regex { .. }) == regex && known.text() == text;
        let known = self.channels.iter().position(same);
        match (known, on) {
            (None, true) => {
                self.watch.subscribe(channel.clone(), None)?;
                self.channels.push(channel);
            }
            (Some(at), false) => {
                self.watch.unsubscribe(&text, regex);
                self.channels.swap_remove(at);
            }
            (Some(_), true) | (None, false) => {}
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Tells what happened since the last time, as far as it may be read and the link doesn't carry the root.
    pub(super) fn notify(
        &mut self,
        store: &Store,
        carried: &[Key],
        access: &Access,
        mailbox: &Mailbox,
    ) -> Result<(), Lagging> {
        while let Some(event) = self.watch.try_next()? {
            let view = store.view();
            for channel in &self.channels {
                if let Some(frame) = told(channel, &event, &view, carried, access) {
                    mailbox.tell(frame);
                }
            }
        }
        Ok(())
    }
}

fn told(channel: &Channel, event: &Event, view: &View, carried: &[Key], access: &Access) -> Option<String> {
    let mut notices = notices_of(channel, event, view);
    let elsewhere = |path: &Path| path.root().is_some_and(|root| !carried.contains(root));
    notices.retain(|notice: &Notice| elsewhere(&notice.path) && access.may_read(&notice.path));
    if notices.is_empty() {
        return None;
    }
    let mut entries = String::new();
    entry::write_list(event, &notices, Dialect::Second, &mut entries);
    Some(link::notify(channel, &entries))
}
