-- What web pages say of themselves (src/tremula/features/url_previews).

-- preview is the answer's JSON; after expires_ts_ms the page is read anew.
CREATE TABLE url_previews (
    url TEXT NOT NULL,
    preview BYTEA NOT NULL,
    expires_ts_ms BIGINT NOT NULL,
    PRIMARY KEY (url)
);

CREATE INDEX url_previews_by_expiry ON url_previews (expires_ts_ms);
