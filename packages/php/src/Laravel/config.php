<?php

return [
    // Options of SsoClient. The README lists them all.
    'client' => [
        'issuer' => env('OIDC_ISSUER'),
        'client_id' => env('OIDC_CLIENT_ID'),
        'client_secret' => env('OIDC_CLIENT_SECRET', ''),
        'redirect_uri' => env('OIDC_REDIRECT_URI'),
        'post_logout_redirect_uri' => env('OIDC_POST_LOGOUT_REDIRECT_URI', ''),
        'scope' => env('OIDC_SCOPE', 'openid profile email'),
        'ui_locales' => config('app.locale', 'id'),
        'data_dir' => storage_path('sso'),
    ],

    // The path of the redirect URI, which is the back-channel logout URI too.
    'path' => parse_url((string) env('OIDC_REDIRECT_URI'), PHP_URL_PATH) ?: 'sso',

    // The model of users, for example App\Models\User. Null: every user may come in, and Auth::user() has the claims.
    'model' => null,

    // claim => column, of sub, local_user_id, nip and email: how a user of the table is found. The column of sub is written.
    'columns' => ['sub' => 'sso_sub', 'email' => 'email'],

    // claim => column, of a new user in the table; for example ['name' => 'name', 'email' => 'email']. Empty: none is made.
    'create' => [],

    // A class of your own that implements Sso\LocalUsers, in place of model, columns and create.
    'users' => null,
];
