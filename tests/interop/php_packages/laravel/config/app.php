<?php
return [
    'name' => 'Loket', 'env' => 'local', 'debug' => true, 'key' => 'base64:' . base64_encode(str_repeat('k', 32)),
    'cipher' => 'AES-256-CBC', 'timezone' => 'Asia/Jakarta', 'locale' => 'id', 'fallback_locale' => 'en',
    'providers' => [
        Illuminate\Auth\AuthServiceProvider::class, Illuminate\Bus\BusServiceProvider::class,
        Illuminate\Cache\CacheServiceProvider::class, Illuminate\Cookie\CookieServiceProvider::class,
        Illuminate\Database\DatabaseServiceProvider::class, Illuminate\Encryption\EncryptionServiceProvider::class,
        Illuminate\Filesystem\FilesystemServiceProvider::class, Illuminate\Foundation\Providers\FoundationServiceProvider::class,
        Illuminate\Hashing\HashServiceProvider::class, Illuminate\Session\SessionServiceProvider::class,
        Illuminate\Translation\TranslationServiceProvider::class, Illuminate\Validation\ValidationServiceProvider::class,
        Illuminate\View\ViewServiceProvider::class, App\Providers\RouteServiceProvider::class,
    ],
    'aliases' => [],
];
