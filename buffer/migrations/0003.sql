-- A will is published by the rights of the user who left it, also after a crash. Of wills of before, only a session can tell.
ALTER TABLE will ADD COLUMN user TEXT NOT NULL DEFAULT ''; -- '': anonymous
UPDATE will SET user = coalesce((SELECT session.user FROM session WHERE session.client_id = will.client_id), '');
