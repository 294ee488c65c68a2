package main

import (
	"context"
	"time"

	"go.mau.fi/util/ptr"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
)

// entry is how a user logs in to the network: by asking, and by the same name.
type entry struct {
	user *bridgev2.User
}

func (entry *entry) Start(ctx context.Context) (*bridgev2.LoginStep, error) {
	name := entry.user.MXID.Localpart()
	account := &database.UserLogin{ID: networkid.UserLoginID(name), RemoteName: name}
	login, err := entry.user.NewLogin(ctx, account, nil)
	if err != nil {
		return nil, err
	}
	login.Client.Connect(ctx)
	return &bridgev2.LoginStep{
		Type:         bridgev2.LoginStepTypeComplete,
		StepID:       "test.grove.complete",
		Instructions: "You are in the grove",
		CompleteParams: &bridgev2.LoginCompleteParams{
			UserLoginID: login.ID,
			UserLogin:   login,
		},
	}, nil
}

func (entry *entry) Cancel() {}

// client is what a user has of the network.
type client struct {
	login *bridgev2.UserLogin
}

var (
	_ bridgev2.NetworkAPI            = (*client)(nil)
	_ bridgev2.BackfillingNetworkAPI = (*client)(nil)
)

func (client *client) Connect(context.Context) {
	client.login.BridgeState.Send(status.BridgeState{StateEvent: status.StateConnected})
}

func (client *client) Disconnect() {}

func (client *client) IsLoggedIn() bool { return true }

func (client *client) LogoutRemote(context.Context) {}

func (client *client) IsThisUser(_ context.Context, id networkid.UserID) bool {
	return string(id) == string(client.login.ID)
}

// GetChatInfo knows no more than the network has told.
func (client *client) GetChatInfo(
	context.Context, *bridgev2.Portal,
) (*bridgev2.ChatInfo, error) {
	return &bridgev2.ChatInfo{}, nil
}

func (client *client) GetUserInfo(
	_ context.Context, ghost *bridgev2.Ghost,
) (*bridgev2.UserInfo, error) {
	return &bridgev2.UserInfo{Name: ptr.Ptr(string(ghost.ID) + " of the grove")}, nil
}

func (client *client) GetCapabilities(
	context.Context, *bridgev2.Portal,
) *event.RoomFeatures {
	return &event.RoomFeatures{ID: "test.grove.capabilities"}
}

// HandleMatrixMessage says it on the network.
func (client *client) HandleMatrixMessage(
	_ context.Context, said *bridgev2.MatrixMessage,
) (*bridgev2.MatrixMessageResponse, error) {
	say(map[string]any{
		"seen":          "message",
		"chat":          said.Portal.ID,
		"from":          client.login.ID,
		"body":          said.Content.Body,
		"was_encrypted": said.Event.Mautrix.WasEncrypted,
	})
	return &bridgev2.MatrixMessageResponse{DB: &database.Message{
		ID:       networkid.MessageID(said.Event.ID),
		SenderID: networkid.UserID(client.login.ID),
		// Before all that others say, by which the bridge finds what it has missed.
		Timestamp: time.Unix(0, 0),
	}}, nil
}

// FetchMessages has nothing but what the network has told along with the chat. What has
// happened in the chat before is done then.
func (client *client) FetchMessages(
	_ context.Context, wanted bridgev2.FetchMessagesParams,
) (*bridgev2.FetchMessagesResponse, error) {
	say(map[string]any{"seen": "history", "chat": wanted.Portal.ID})
	lately, _ := wanted.BundledData.([]message)
	messages := make([]*bridgev2.BackfillMessage, len(lately))
	for i, said := range lately {
		messages[i] = &bridgev2.BackfillMessage{
			ConvertedMessage: said.converted(),
			Sender:           sender(said.From, client.login.ID),
			ID:               said.ID,
			Timestamp:        said.at(),
		}
	}
	return &bridgev2.FetchMessagesResponse{
		Messages:                messages,
		Forward:                 wanted.Forward,
		AggressiveDeduplication: true,
	}, nil
}
