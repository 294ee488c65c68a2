-- Of images that are their own thumbnails the type was not noted. They are looked at
-- again when somebody asks for them.
DELETE FROM media_thumbnails WHERE outcome = 'original';
